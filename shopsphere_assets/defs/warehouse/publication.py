"""The publication: the marts as one consistent, numbered version, once everything in them is sound."""

from collections.abc import Iterator

import dagster as dg

from resources.warehouse import Publication
from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.defs.warehouse.conditions import AFTER_UPSTREAM, PUBLICATION_KEY
from shopsphere_assets.defs.warehouse.dbt import WAREHOUSE_POOL, mart_keys, result_nodes
from shopsphere_assets.transformation.results import broken_nodes


@dg.definitions
def publication() -> dg.Definitions:
    """The publication's asset."""

    @dg.asset(
        key=PUBLICATION_KEY,
        deps=mart_keys(),
        description="The marts as readers see them: one consistent, numbered version, switched atomically after a "
        "sound build. Reports, the API and analysts read this and never meet a lock or a half-built mart.",
        group_name="publication",
        owners=["team:data-platform"],
        kinds={"python"},
        automation_condition=AFTER_UPSTREAM,
        output_required=False,
        pool=WAREHOUSE_POOL,
    )
    def marts_publication(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[dg.MaterializeResult[None]]:
        warehouse = platform.warehouse()
        with faults(context):
            broken = broken_nodes(warehouse, result_nodes())
            if broken:
                # Not a failure of its own: the build that broke has failed and is what wants repair.
                context.log.warning(
                    "not published; readers keep the version they have, because the latest result of these "
                    f"models and tests is not good: {', '.join(broken)}"
                )
                return
            published = warehouse.publish(context.run.run_id, keep=platform.settings.kept_publications)
            marts = warehouse.read_publication(
                "select * from publication.tables order by 1, 2", version=published.version
            )
        records = [
            dg.TableRecord({k: v if isinstance(v, int) else str(v) for k, v in row.items()})
            for row in marts.to_pylist()
        ]
        yield dg.MaterializeResult(
            metadata={
                "marts": dg.MetadataValue.table(records),
                "version": published.version,
                "tables": published.tables,
                "rows": published.rows,
                "published at": dg.MetadataValue.timestamp(published.published_at),
                **latency(published),
            }
        )

    return dg.Definitions(assets=[marts_publication])


def latency(published: Publication) -> dict[str, dg.MetadataValue]:
    """From the change at the source to the publication; nothing where nothing had come in."""
    newest, oldest = published.latency_seconds, published.longest_latency_seconds
    if newest is None or oldest is None:
        return {}
    by_source = "the newest change, by the source's clock"
    return {
        "latency (s)": dg.MetadataValue.float(round(newest, 1)),
        "longest latency (s)": dg.MetadataValue.float(round(oldest, 1)),
        "latency counts from": dg.MetadataValue.text(
            by_source if published.changes.clock == "source" else "the read, as the source's clock tells nothing"
        ),
    }
