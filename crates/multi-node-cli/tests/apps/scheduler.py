"""A worker whose ticks come each second: by the command's lock one worker of all does the work, which takes longer than a second."""

import subprocess
import sys

from apscheduler.schedulers.blocking import BlockingScheduler

command, witness = sys.argv[1:]
WORK = 'echo begin $$ $PPID >>"$0"; sleep 1.3; echo end $$ $PPID >>"$0"'


def tick():
    subprocess.run([command, "lock", "--no-wait", "job", "--", "sh", "-c", WORK, witness])


scheduler = BlockingScheduler()
scheduler.add_job(tick, "cron", second="*")
scheduler.start()
