"""Fixtures of the Patroni tests: pytest_plugins = ["harness.patroni_fixtures"]. Each of
its modules has a fixture `stage`, made by make_patroni_stage()."""

import pytest

from .patroni_stage import PatroniStage


@pytest.fixture(scope="module")
def make_patroni_stage():
    """A function that makes a PatroniStage on a store, which it closes as well."""
    made = []

    def make(store, **dcs):
        try:
            made.append(PatroniStage(store, **dcs))
        except BaseException:
            store.close()
            raise
        return made[-1]

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def proxies(stage):
    """One that asks by SQL and one that asks by REST."""
    yield stage.start_proxies("sql", "rest")
    stage.end_test()
