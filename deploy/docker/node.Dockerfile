# A Node.js program. With `vendor/multi-node-server-0.1.0.tgz` in package.json until the package is published.
FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json ./
COPY vendor ./vendor
RUN npm ci --omit=dev
COPY . .
USER node
ENV XDG_RUNTIME_DIR=/run/app
VOLUME /run/app
EXPOSE 3000
# An unmodified program. One that calls `listen` of the package is started by CMD ["node", "server.js"].
ENTRYPOINT ["node_modules/.bin/multi-node"]
CMD ["run", "-n", "auto", "--metrics", ":9100", "--shutdown-delay", "5s", "--", "node", "server.js"]
