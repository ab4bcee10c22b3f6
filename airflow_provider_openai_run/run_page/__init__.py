"""The run's page in the Airflow UI."""
