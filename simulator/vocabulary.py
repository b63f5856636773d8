"""What the shop sells and what people say: words for products, reviews, tickets, searches, e-mails.

Belongs here: lists of words and sentences. Does not belong here: how they are combined.
"""

from __future__ import annotations


def _listed(text: str) -> tuple[str, ...]:
    """The entries of a list that is written with semicolons, for its size."""
    return tuple(text.split(";"))


# Department -> categories; per category: nouns of products, and the typical price in US dollars.
DEPARTMENTS: dict[str, dict[str, tuple[str, float]]] = {
    "Electronics": {
        "Headphones": ("Wireless Headphones;Earbuds;Studio Headphones;Gaming Headset", 79),
        "Cameras": ("Action Camera;Mirrorless Camera;Instant Camera;Camera Lens", 289),
        "Smart Home": ("Smart Bulb;Thermostat;Door Sensor;Smart Speaker", 59),
        "Accessories": ("USB-C Cable;Power Bank;Phone Case;Charging Dock", 24),
    },
    "Home & Kitchen": {
        "Cookware": ("Cast Iron Pan;Saucepan;Wok;Casserole", 54),
        "Coffee": ("Espresso Maker;Coffee Grinder;French Press;Pour-Over Set", 68),
        "Bedding": ("Duvet;Pillow;Linen Sheets;Wool Blanket", 62),
        "Lighting": ("Desk Lamp;Floor Lamp;Pendant Light;String Lights", 47),
    },
    "Clothing": {
        "Women": ("Merino Sweater;Rain Jacket;Linen Dress;Denim Skirt", 56),
        "Men": ("Oxford Shirt;Chinos;Wool Coat;Crew-Neck Tee", 52),
        "Children": ("Dungarees;Rain Boots;Striped Pyjamas;Knit Hat", 27),
        "Shoes": ("Trail Runners;Leather Boots;Canvas Sneakers;Sandals", 84),
    },
    "Sports & Outdoors": {
        "Camping": ("Two-Person Tent;Sleeping Bag;Camp Stove;Headlamp", 96),
        "Cycling": ("Bike Light;Cycling Gloves;Floor Pump;Pannier Bag", 38),
        "Fitness": ("Yoga Mat;Kettlebell;Resistance Bands;Foam Roller", 33),
    },
    "Books & Toys": {
        "Cookbooks": ("Vegetable Cookbook;Bread Book;Weeknight Recipes;Café Classics", 26),
        "Puzzles": ("1000-Piece Puzzle;Wooden Puzzle;Logic Puzzle;Puzzle Mat", 21),
        "Board Games": ("Strategy Game;Party Game;Card Game;Cooperative Game", 34),
    },
    "Beauty & Health": {
        "Skin Care": ("Face Cream;Sunscreen;Hand Balm;Cleansing Oil", 19),
        "Tea & Wellness": ("Green Tea;Herbal Infusion;Aroma Diffuser;Bath Salts", 17),
    },
}

ADJECTIVES = _listed(
    "Classic;Compact;Premium;Everyday;Nordic;Ultra;Organic;Vintage;Studio;Alpine;Urban;Coastal;Pro;Light;"
    "Essential;Signature;Eco;Foldable;Handmade;Heritage"
)
COLOURS = _listed("Black;White;Navy;Sand;Olive;Terracotta;Grey;Sage;Plum;Ochre;Rosé;Écru")

BRANDS = _listed(
    "Northwind;Lumière;Kastanje;Brightside;Alpenglück;Fjordly;Casa Verde;Oak & Iron;Solstice;Pão de Mel;"
    "Müller & Söhne;Tidewater;Blue Finch;Atelier Noé;Håndværk;Maple Works;Peregrine;Sierra Norte;Zephyr;"
    "Żubr Outdoor;Hearthstone;Linden;Quiet Hours;Red Kite;Marigold;Granit;Piccolo;Vela;Ostara;Juniper;"
    "Cedar & Co;Öland;Harvest Moon;Papier Bleu;Kestrel;Copperfield;Bright Anchor;Rosewood;Tessera;"
    "Wildhaus"
)

SEARCHES = _listed(
    "headphones;wireless earbuds;gift for her;gift for him;rain jacket;yoga mat;coffee grinder;desk lamp;"
    "camping tent;sneakers;café press;wool blanket;usb c cable;puzzle 1000;board game;sunscreen;pan;"
    "duvet;bike light;Kopfhörer;manteau;tênis;geschenk;linen dress;kids boots;tea;espresso;power bank;"
    "sale;socks"
)

REVIEW_TITLES: dict[str, dict[str, list[str]]] = {
    "good": {
        "en": ["Love it", "Exactly as described", "Great value", "Would buy again"],
        "de": ["Sehr zufrieden", "Genau wie beschrieben", "Für den Preis großartig"],
        "fr": ["Très satisfait", "Conforme à la description", "Excellent rapport qualité-prix"],
        "pt": ["Muito bom", "Chegou antes do prazo", "Ótima qualidade"],
        "es": ["Muy contento", "Tal como se describe", "Buena relación calidad-precio"],
    },
    "bad": {
        "en": ["Disappointed", "Broke after a week", "Not what I expected"],
        "de": ["Enttäuscht", "Nach einer Woche kaputt", "Leider nicht wie erwartet"],
        "fr": ["Déçu", "Cassé après une semaine", "Pas à la hauteur"],
        "pt": ["Decepcionado", "Quebrou em uma semana", "Não é o que eu esperava"],
        "es": ["Decepcionado", "Se rompió en una semana", "No es lo que esperaba"],
    },
}
REVIEW_BODIES: dict[str, dict[str, list[str]]] = {
    "good": {
        "en": [
            "Arrived quickly and well packed. We use it every day.",
            "Good quality, and the colour is even nicer than in the pictures.",
            "Bought it as a present; she was delighted.\nWill order from here again.",
        ],
        "de": ["Schnelle Lieferung, gute Qualität.", "Wir benutzen es täglich. Klare Empfehlung für alle!"],
        "fr": ["Livraison rapide, très bien emballé.", "Utilisé tous les jours, aucun défaut à ce jour."],
        "pt": ["Entrega rápida e bem embalado.", "Uso todos os dias, recomendo a todos os amigos."],
        "es": ["Llegó rápido y bien embalado.", "Lo uso cada día, sin ningún problema."],
    },
    "bad": {
        "en": [
            "The seam came loose after three uses, and the answer from support took a week.",
            "Smaller than the pictures suggest. It does the job, barely.",
        ],
        "de": ["Die Naht löste sich nach drei Tagen.", "Kleiner als auf den Bildern. Geht zurück."],
        "fr": ["La couture a lâché après trois jours.", "Plus petit que sur les photos, je le renvoie."],
        "pt": ["A costura soltou em três dias.", "Menor do que nas fotos. Vou devolver."],
        "es": ["La costura se soltó a los tres días.", "Más pequeño que en las fotos, lo devuelvo."],
    },
}
LANGUAGES = ("en", "de", "fr", "pt", "es")

TICKETS: tuple[tuple[str, str], ...] = (
    ("Where is my order?", "Hello,\nI ordered last week and have not heard anything since. Can you check?"),
    ("Item arrived damaged", "The box was dented and the item has a scratch. Pictures can follow."),
    ("Wrong size", "Could I exchange it for a larger one, please?"),
    ("Invoice needed", "Please send me an invoice with our company's address.\n\nThank you"),
    ("Double charge on my card", "My bank shows two charges for one order; please look into it."),
    ("Change of delivery address", "I moved house. The parcel should go to the new address."),
    ("Rückgabe", "Guten Tag, wie schicke ich den Artikel zurück? Viele Grüße"),
    ("Remboursement", "Bonjour, quand serai-je remboursé ? Merci d'avance."),
    ("Question before buying", "Is it available in another colour, and when?"),
)

INTERACTIONS: tuple[tuple[str, str], ...] = (
    ("Asked about delivery times", "Called back, explained the two warehouses."),
    ("Complaint about packaging", "Apologised; voucher of 5 sent."),
    ("Loyalty programme", "Explained the tiers, customer will think about it."),
    ("Invitation to the spring event", "Accepted, comes with a guest."),
    ("Bulk order", "Wants a quote for 40 pieces.\nForwarded to sales."),
    ("Birthday card", "Sent by post."),
    ("Rückfrage zur Rechnung", "Geklärt, Kunde zufrieden."),
)

CRM_NOTES = (
    "prefers e-mail", 'calls himself "the regular"', "has a dog, likes to talk about it", "VIP since 2019",
    "do not call before 10:00; works nights", "met at the fair\nin Köln", "pays late, always friendly",
)  # fmt: skip

CAMPAIGN_THEMES = (
    ("New Year, New Home", "Fresh starts for every room"), ("Winter Sale", "Up to 40 % off: the last warm things"),
    ("Coffee Week", "Wake up to 15 % off coffee gear"), ("Valentine's Picks", "Presents that say it better"),
    ("Spring Outdoors", "The first warm day is coming"), ("Members' Days", "Only for you: early access"),
    ("Back in Stock", "They sold out fast. They are back."), ("Gartenzeit", "Alles für Balkon und Garten"),
    ("Summer Reading", "Books and quiet hours"), ("Free Shipping Weekend", "No minimum. Until Sunday."),
)  # fmt: skip

BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0",
)  # fmt: skip
BOTS = (
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +http://bot.example/about)",
    "ExampleSeoCrawler/1.4 (+https://seo.example/bot)",
    "python-requests/2.32.3",
    "curl/8.5.0",
)
MAIL_PROGRAMS = (
    "Apple Mail/3774.600.62", "Thunderbird/128.4.0", "GmailImageProxy", "Microsoft Outlook 16.0",
)  # fmt: skip
