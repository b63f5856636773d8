"""How the tests are shared out among processes: hooks of pytest-xdist, in effect with ``-n auto``.

Belongs here: how many processes there are, and which tests must follow each other in one. Not here: fixtures.
"""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

_MOST_PROCESSES = 4
"""Each has servers of its own and takes about a gigabyte."""

_TOGETHER = {
    "integration/dbt/test_engines_agree.py": "built models",
    "integration/dbt/test_marts.py": "built models",
    "integration/defs/test_main_job.py": "code location",
    "integration/defs/test_publication_gate.py": "code location",
    "unit/defs/test_code_location.py": "code location",
    "end_to_end/test_command_line.py": "the first demo",
    "end_to_end/test_demo.py": "the first demo",
    "end_to_end/test_killed_build.py": "platforms",
    "end_to_end/test_quality_report.py": "platforms",
    "end_to_end/test_same_marts_everywhere.py": "platforms",
    "end_to_end/test_truth.py": "platforms",
}
"""Files that share what takes long to make."""

_EACH_BY_ITSELF = ("integration/ingestion/test_changes.py", "integration/ingestion/test_reconcile.py")
"""Long files whose tests share servers only."""


class FilesInOrder(LoadScopeScheduling):
    """A file's tests run in one process, as its fixtures are made for; the files begin in the order of collection.

    That puts the long tests, end to end and of integration, before the short ones, which fill up at the end.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0].removeprefix("tests/")
        return nodeid if path in _EACH_BY_ITSELF else _TOGETHER.get(path, path)

    def remove_node(self, node: WorkerController) -> str | None:
        """Take back what a process that ended had left to do, but for the test that ended it.

        Otherwise that test would end every process that follows, each after its whole time if it hangs.
        """
        for tests in self.assigned_work[node].values():
            for test, is_done in tests.items():
                if not is_done:
                    tests[test] = True
                    super().remove_node(node)
                    return str(test)
        super().remove_node(node)
        return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesInOrder:
    """See :class:`FilesInOrder`."""
    config.option.loadscopereorder = False
    return FilesInOrder(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for every core; none besides this one where a single file is asked for."""
    files = {argument.partition("::")[0] for argument in config.args}
    if len(files) == 1 and Path(files.pop()).is_file():
        return 0
    return min(psutil.cpu_count() or 1, _MOST_PROCESSES)
