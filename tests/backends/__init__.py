import pytest

for name in ("conformance", "all_reduce_checks"):
    pytest.register_assert_rewrite(f"{__name__}.{name}")
