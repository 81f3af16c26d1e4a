"""One thread for torch: at these sizes two are no faster, and slow beside a busy neighbour."""

import torch

torch.set_num_threads(1)
