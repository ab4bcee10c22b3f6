"""System tests that run on each database that Airflow supports and this machine has."""
