"""Contracts of the shop's own database: customers, addresses, orders, items, payments, refunds."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from shopsphere_assets.contracts.base import (
    Contract,
    Money,
    Timestamp,
    amount,
    city,
    column,
    country,
    currency,
    email,
    first_name,
    last_name,
    moment,
    not_before,
    phone,
    postal_code,
    region,
    street,
    text,
)


class Customers(Contract):
    """People who have an account in the shop."""

    customer_id: pl.Int64 = column("The shop's number of the customer.")
    email: str = email("The address the customer signs in with.")
    first_name: str = first_name("Given name.", required=False)
    last_name: str = last_name("Family name.", required=False)
    phone: str = phone("Telephone number as typed.")
    birth_date: pl.Date = column("Date of birth, if given.", required=False, personal="demographic")
    country_code: str = country("Country of residence (ISO 3166-1 alpha-2).", required=False, personal="location")
    locale: str = column("Language and region of the shop's pages, such as de_DE.", required=False)
    is_marketing_opt_in: pl.Boolean = column(
        "Whether the customer agreed to marketing e-mail.", required=False, purposes=("marketing",)
    )
    registered_at: Timestamp = moment("When the account was created.")
    updated_at: Timestamp = moment("When the row last changed in the shop.")

    updated_not_before_registered = not_before("updated_at", "registered_at")


class Addresses(Contract):
    """Postal addresses in customers' address books."""

    address_id: pl.Int64 = column("The shop's number of the address.")
    customer_id: pl.Int64 = column(
        "The customer whose address book holds it.", references="shop_db/customers.customer_id"
    )
    address_type: str = column("What it is used for.", isin=("shipping", "billing"))
    line1: str = street("Street and house number.", purposes=("fulfilment",), not_a_placeholder=True)
    line2: str = text("Flat, floor or building.", required=False, personal="location", purposes=("fulfilment",))
    city: str = city("Town.", purposes=("fulfilment", "analytics"), not_a_placeholder=True)
    state: str = region("State, province or county.", required=False)
    postal_code: str = postal_code(
        "Postal code as typed.",
        required=False,
        purposes=("fulfilment", "analytics"),
    )
    country_code: str = country("Country (ISO 3166-1 alpha-2).", personal="location")
    created_at: Timestamp = moment("When the address was added.")
    updated_at: Timestamp = moment("When the row last changed in the shop.")

    updated_not_before_created = not_before("updated_at", "created_at")


class Orders(Contract):
    """Orders placed in the shop, one row each."""

    order_id: pl.Int64 = column("The shop's number of the order.")
    customer_id: pl.Int64 = column("Who ordered.", references="shop_db/customers.customer_id")
    billing_address_id: pl.Int64 = column(
        "Where the invoice went.", references="shop_db/addresses.address_id", required=False
    )
    shipping_address_id: pl.Int64 = column(
        "Where the goods went.", references="shop_db/addresses.address_id", required=False
    )
    status: str = column(
        "How far the order has come.",
        isin=("pending", "paid", "shipped", "delivered", "cancelled", "returned"),
    )
    channel: str = column("Where it was placed.", required=False, isin=("web", "mobile", "store", "phone"))
    currency: str = currency("Currency of every amount of the order (ISO 4217).")
    shipping_amount: Money = amount("What the customer paid for shipping.", required=False)
    tax_amount: Money = amount("Tax on top of the items.", required=False)
    discount_amount: Money = amount("Discount on the items.", required=False)
    coupon_code: str = column("Coupon that was used, if any.", required=False)
    placed_at: Timestamp = moment("When the customer placed the order.")
    updated_at: Timestamp = moment("When the row last changed in the shop.")

    updated_not_before_placed = not_before("updated_at", "placed_at")


class OrderItems(Contract):
    """The lines of the orders."""

    order_item_id: pl.Int64 = column("The shop's number of the line.")
    order_id: pl.Int64 = column("The order it belongs to.", references="shop_db/orders.order_id")
    line_number: pl.Int64 = column("Position in the order, from 1.", required=False, ge=1)
    product_id: pl.Int64 = column(
        "The product that was bought.", references="catalogue_db/products.product_id", required=False
    )
    sku: str = column("Stock-keeping unit of the product.", required=False)
    quantity: pl.Int64 = column("Units bought.", unit="units", ge=1, le=1000)
    unit_price: Money = amount("Price of one unit.", required=False)
    line_amount: Money = amount("Price of the whole line: quantity times unit price.")
    created_at: Timestamp = moment("When the line was written.", required=False)
    updated_at: Timestamp = moment("When the row last changed in the shop.")

    @pa.dataframe_check
    @classmethod
    def line_amount_adds_up(cls, data: PolarsData) -> pl.LazyFrame:
        """Quantity times unit price is the line's amount, to the cent; not judged without a unit price."""
        # Cents as integers: quantity is at most 1,000, but a row that breaks that rule must not overflow.
        cents = (pl.col("unit_price") * 100).cast(pl.Int64)
        due = cents * pl.col("quantity").clip(-(10**6), 10**6)
        return data.lazyframe.select((due == (pl.col("line_amount") * 100).cast(pl.Int64)).fill_null(True))


class Payments(Contract):
    """What customers paid, one row per transaction."""

    payment_id: pl.Int64 = column("The shop's number of the payment.")
    order_id: pl.Int64 = column("The order that was paid.", references="shop_db/orders.order_id")
    method: str = column("How it was paid.", isin=("card", "paypal", "invoice", "bank_transfer", "gift_card", "pix"))
    status: str = column("State of the transaction.", isin=("authorized", "captured", "failed", "voided"))
    currency: str = currency("Currency of the amount (ISO 4217).")
    amount: Money = amount("Amount of the transaction.")
    provider_reference: str = column("The payment provider's number of it.", required=False)
    paid_at: Timestamp = moment("When the transaction took place.")
    updated_at: Timestamp = moment("When the row last changed in the shop.")

    updated_not_before_paid = not_before("updated_at", "paid_at")


class Refunds(Contract):
    """What the shop gave back."""

    refund_id: pl.Int64 = column("The shop's number of the refund.")
    order_id: pl.Int64 = column("The order it belongs to.", references="shop_db/orders.order_id")
    payment_id: pl.Int64 = column(
        "The payment that was given back.", references="shop_db/payments.payment_id", required=False
    )
    reason: str = column(
        "Why.",
        required=False,
        isin=("damaged", "wrong_item", "not_as_described", "changed_mind", "late", "cancelled", "other"),
    )
    currency: str = currency("Currency of the amount (ISO 4217).")
    amount: Money = amount("Amount given back.", gt=0)
    refunded_at: Timestamp = moment("When it was given back.")
    updated_at: Timestamp = moment("When the row last changed in the shop.")

    updated_not_before_refunded = not_before("updated_at", "refunded_at")
