"""Code of the function. It imports nothing but the standard library and boto3, as in Lambda."""
