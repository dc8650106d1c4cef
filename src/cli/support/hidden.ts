/** Asks for a line on the terminal without showing it. Ctrl-C ends the process as ever; Ctrl-D ends the line. */
export async function askHidden(question: string): Promise<string> {
  const { stdin, stderr } = process
  stderr.write(question)
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  let line = ''
  try {
    for await (const chunk of stdin as AsyncIterable<string>) {
      for (const letter of chunk) {
        if (letter === '\r' || letter === '\n' || letter === '\x04') return line
        if (letter === '\x03') {
          stdin.setRawMode(false)
          process.kill(process.pid, 'SIGINT')
          return ''
        }
        if (letter === '\x7f' || letter === '\b') line = line.slice(0, -1)
        else if (letter >= ' ') line += letter
      }
    }
    return line
  } finally {
    stdin.setRawMode(false)
    stderr.write('\n')
  }
}
