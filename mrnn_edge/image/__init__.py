"""Any picture in, checked uint8 pixels [H, W, 3] of the model's size out. Knows no model."""
