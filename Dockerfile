# Parsed and linted in CI, not built there: see docs/guides/deploy.md.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The pinned "node" package is for hosts with an older Node; this image is one already.
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npx tsc -p tsconfig.build.json && npm prune --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY bin ./bin
COPY rules ./rules
COPY policy ./policy
COPY responders ./responders
RUN mkdir -p /data /etc/cordon/shared && chown node:node /data /etc/cordon/shared
USER node
VOLUME /data
EXPOSE 4318 4319
HEALTHCHECK --interval=15s --timeout=3s CMD ["node", "-e", "fetch('http://127.0.0.1:4319/livez').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
ENTRYPOINT ["node", "bin/cordon.mjs"]
CMD ["run", "--config", "/etc/cordon/cordon.yml"]
