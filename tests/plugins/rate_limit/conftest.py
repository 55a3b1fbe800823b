"""The stores' own fixtures: real servers, a cluster, what waits for them."""

import importlib.util
import sys
from pathlib import Path

_PATH = Path(__file__).resolve().parents[2] / "gateway/services/conftest.py"
if _PATH.is_file():  # not where the plugins' tests alone were copied to; what needs these fixtures does not run there
    _spec = importlib.util.spec_from_file_location("store_fixtures", _PATH)
    _stores = importlib.util.module_from_spec(_spec)
    sys.modules[_spec.name] = _stores  # its dataclasses look themselves up
    _spec.loader.exec_module(_stores)

    open_redis = _stores.open_redis
    redis_store = _stores.redis_store
    shared_cluster = _stores.shared_cluster
    cluster = _stores.cluster
    eventually_fixture = _stores.eventually_fixture
    proxy = _stores.proxy
    watched = _stores.watched
