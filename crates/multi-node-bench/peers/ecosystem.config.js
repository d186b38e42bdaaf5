// PM2's cluster mode with a graceful start and end, as its documentation has it, with the time for it that is shown there.
module.exports = {
  apps: [{ name: "web", script: "main.js", instances: @NODES@, exec_mode: "cluster", wait_ready: true, kill_timeout: 3000 }],
};
