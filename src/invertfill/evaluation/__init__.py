"""The paper's protocol for any inpainting method: pairs of picture and mask, metrics, and a report."""
