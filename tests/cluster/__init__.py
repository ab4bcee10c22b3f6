"""Airflow as it is deployed: Postgres, Celery and two triggerers; its parts can be paused and killed."""
