"""A picture and its hole -> the filled picture: crops around holes, a model for each, blending, detail."""
