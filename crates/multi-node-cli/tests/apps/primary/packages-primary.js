// What the documentation of three packages has in the primary.
const { setupPrimary } = require('@socket.io/cluster-adapter')
const { RateLimiterClusterMaster } = require('rate-limiter-flexible')
const { ClusterMemoryStorePrimary } = require('@express-rate-limit/cluster-memory-store')

setupPrimary()
new RateLimiterClusterMaster()
new ClusterMemoryStorePrimary().init()
