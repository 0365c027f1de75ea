"""The page as a folder of static files that fills in the browser: ``invertfill site``."""
