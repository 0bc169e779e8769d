"""What a person does with registered versions."""
