// An unmodified server whose release, the file that RELEASE names, says when it breaks: "good", or "dies MILLISECONDS".
const { readFileSync } = require('node:fs');
const [kind, milliseconds] = readFileSync(process.env.RELEASE, 'utf8').split(' ');

require('node:http')
  .createServer((request, response) => response.end(`${kind} ${process.pid}`))
  .listen(Number(process.env.PORT ?? 0), () => {
    if (kind === 'dies') setTimeout(() => { throw new Error('this release breaks'); }, Number(milliseconds));
  });
