"""What capture does around torch.export: forms that it takes, sizes it keeps, what it rests on."""
