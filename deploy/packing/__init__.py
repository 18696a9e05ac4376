"""The parts of a relocatable archive of the environment."""
