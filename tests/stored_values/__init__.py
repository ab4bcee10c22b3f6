"""The values that each version of the provider has stored in Airflow's database, recorded and replayed."""
