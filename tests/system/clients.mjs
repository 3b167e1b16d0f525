// Node's own fetch reads a training as its arguments say: url, token, If-None-Match or nothing.
const [url, token, tag] = process.argv.slice(2)
const headers = { Authorization: `Bearer ${token}` }
if (tag) headers['If-None-Match'] = tag
const answer = await fetch(url, { headers })
console.log(JSON.stringify({
  status: answer.status,
  etag: answer.headers.get('etag'),
  coding: answer.headers.get('content-encoding'),
  version: answer.headers.get('training-updated-at'),
  text: await answer.text()
}))
