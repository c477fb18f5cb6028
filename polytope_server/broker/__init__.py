"""The broker process: decides which waiting request runs next."""
