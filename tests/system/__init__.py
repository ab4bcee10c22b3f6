"""A real Airflow, a real triggerer and a local API: what no unit test can show."""
