"""The web page and the HTTP endpoint over `Inpainter`; needs the app extra."""
