"""The "OpenAI run" page: a tab of the task instance in the Airflow UI."""
