"""For all tests: no test is right or wrong by how long it took, and every run draws the same."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "project",
    deadline=None,  # a first call compiles kernels, and machines are shared
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("project")
