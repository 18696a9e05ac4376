"""What a relocatable archive of the environment is made of."""
