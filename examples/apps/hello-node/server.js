// Listens where it is told, and finishes what it has begun when it is asked to stop.
const http = require("node:http");

const server = http.createServer((request, response) => {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.setHeader("x-release", process.env.SH0_RELEASE ?? "");
  response.end(`${process.env.GREETING ?? "Hello from sh0"} (Node)\n`);
});

server.listen(process.env.PORT ?? 8080, () => console.log(`listening on ${server.address().port}`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
