import sys,time
from pathlib import Path
from tests.deploy.replay.build import build
t=time.time()
im=build("service", Path(sys.argv[1]), {})
print(time.time()-t, im.command, im.health, im.user, im.environ)
