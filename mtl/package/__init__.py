"""The model as users load it: safetensors, and a JSON of everything else. No code, no pickle."""
