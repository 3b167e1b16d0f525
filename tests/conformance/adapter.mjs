// Makes trainings of the suite's paths and bodies, on both sides of the gateway under test:
//
//   suite's client -> front -> gateway -> back -> suite's server
//
// A path /test/{uuid}/{file} is the training {uuid}~{file}; the body of a 200 stands in its
// `content` as long as the gateway has it. All else passes as it is: status, fields and their
// order, the query, other bodies. What the suite's two halves tell each other (/config, /state)
// goes past the gateway.
import http from 'node:http'

const [frontPort, gatewayPort, backPort, serverPort] = process.argv.slice(2).map(Number)
const HOPS = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length'])
const LOCATIONS = new Set(['location', 'content-location'])
const TEST = /^\/test\/([0-9a-f-]+)(?:\/([a-z_]+))?(\?.*)?$/
const TRAINING = /^\/training\/([0-9a-f-]+)(?:~([a-z_]+))?(\?.*)?$/

const toTraining = path => path.replace(TEST, (_, uuid, file, query) => `/training/${uuid}${file ? `~${file}` : ''}${query ?? ''}`)
const toTest = path => path.replace(TRAINING, (_, uuid, file, query) => `/test/${uuid}${file ? `/${file}` : ''}${query ?? ''}`)

function wrapped (id, text) {
  const now = new Date().toISOString()
  return JSON.stringify({
    id,
    title: 'A test',
    content: text,
    draft_title: null,
    draft_content: null,
    type: 'BEHAVIORAL',
    is_draft: false,
    directory_id: null,
    restricted_to_channels: [],
    restricted_to_segments: [],
    current_version: 1,
    published_at: now,
    created_at: now,
    updated_at: now
  })
}

function unwrapped (body) {
  try {
    const training = JSON.parse(body.toString('latin1'))
    return Buffer.from(training.content, 'latin1')
  } catch {
    return body // a training is the only JSON here that has a content
  }
}

function fieldsOf (message, convert) {
  const fields = []
  for (let i = 0; i < message.rawHeaders.length; i += 2) {
    const [name, value] = message.rawHeaders.slice(i, i + 2)
    const lower = name.toLowerCase()
    // Of a hop's own fields, those that only look so are part of a test: they name no hop.
    if (HOPS.has(lower) && !(message.statusCode && isOdd(lower, value))) continue
    fields.push(name, LOCATIONS.has(lower) ? convert(value) : value)
  }
  return fields
}

const isOdd = (name, value) => (name === 'connection' && !/^(close|keep-alive)$/i.test(value)) ||
  (name === 'keep-alive' && !/^timeout=/.test(value))

function read (message) {
  return new Promise(resolve => {
    const chunks = []
    const done = () => resolve(Buffer.concat(chunks))
    message.on('data', chunk => chunks.push(chunk)).on('end', done).on('error', done).on('aborted', done)
  })
}

// A server that hands each request on to `port`, with its path and its answer translated.
function relay (listenOn, route) {
  http.createServer({ insecureHTTPParser: true }, async (request, response) => {
    const body = await read(request)
    const { port, path, back, translate } = route(request)
    const options = { host: '127.0.0.1', port, path, method: request.method, headers: fieldsOf(request, x => x), agent: false, insecureHTTPParser: true }
    if (body.length) options.headers.push('Content-Length', String(body.length))
    const call = http.request(options, async answer => {
      isAnswered = true
      const received = await read(answer)
      const text = request.method === 'HEAD' ? received : translate(answer.statusCode, received)
      const fields = fieldsOf(answer, back)
      const bodiless = [204, 304].includes(answer.statusCode) || request.method === 'HEAD'
      if (!bodiless) fields.push('Content-Length', String(text.length))
      else if (answer.statusCode === 304 && answer.headers['content-length']) fields.push('Content-Length', answer.headers['content-length'])
      response.sendDate = false
      response.writeHead(answer.statusCode, answer.statusMessage, fields)
      response.end(bodiless ? undefined : text)
    })
    for (const [code, send] of [[102, () => response.writeProcessing()], [103, fields => response.writeEarlyHints(fields)]]) {
      call.on('information', info => { if (info.statusCode === code) send(info.headers) })
    }
    let isAnswered = false // what comes behind a whole answer is no fault of it
    call.on('error', () => isAnswered || response.socket?.destroy())
    call.end(body)
  }).listen(listenOn, '127.0.0.1')
}

relay(frontPort, request => TEST.test(request.url)
  ? { port: gatewayPort, path: toTraining(request.url), back: toTest, translate: (status, body) => unwrapped(body) }
  : { port: serverPort, path: request.url, back: x => x, translate: (status, body) => body })

relay(backPort, request => {
  const id = request.url.replace(/^\/training\//, '').replace(/\?.*$/, '')
  const isRead = request.method === 'GET'
  return {
    port: serverPort,
    path: toTest(request.url),
    back: toTraining,
    translate: (status, body) => isRead && status === 200 ? Buffer.from(wrapped(id, body.toString('latin1')), 'latin1') : body
  }
})
console.log('ready')
