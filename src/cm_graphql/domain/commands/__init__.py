"""What a caller can ask for, as records; the api derives its input types from them, so nothing is listed twice."""
