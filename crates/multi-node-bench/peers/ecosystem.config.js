// PM2's cluster mode with a graceful start, as its documentation has it.
module.exports = {
  apps: [{ name: "app", script: "worker.js", instances: @NODES@, exec_mode: "cluster", wait_ready: true }],
};
