"""The model as users load it: safetensors, a JSON of everything else, and the code. No pickle."""
