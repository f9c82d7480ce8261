"""Which processes make a robot, a training or a deployment, and with which parameters."""
