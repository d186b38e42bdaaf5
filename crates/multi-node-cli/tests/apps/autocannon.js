// The load generator of npm until SIGINT: `autocannon.js URL OPTIONS-AS-JSON`. It prints what it has counted.
const autocannon = require('autocannon')
const options = { url: process.argv[2], connections: 16, duration: 3600, ...JSON.parse(process.argv[3] ?? '{}') }
const load = autocannon(options, (error, report) => {
  if (error) throw error
  console.log(JSON.stringify(report))
})
process.once('SIGINT', () => load.stop())
