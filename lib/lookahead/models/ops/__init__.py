"""What a layer computes, each with a readable reference beside the fast one."""
