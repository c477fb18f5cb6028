"""The object store process: a folder of results and uploads, served over HTTP to sites without S3."""
