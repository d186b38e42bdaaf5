// As sentry.mjs, for programs that are no ES modules.
const Sentry = require('@sentry/node')
Sentry.init({ dsn: process.env.SENTRY_DSN, tracesSampleRate: 1 })
