import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readCommand } from './shell-words.ts'

describe('what a command names', () => {
  it.each([
    ['cat /sensitive/pay.csv', ['/sensitive/pay.csv']],
    ['/bin/cat "/with space/a.txt" \'/b.txt\'', ['/with space/a.txt', '/b.txt']],
    ['head -n 5 ./notes.md', ['/srv/notes.md']],
    ['cd /sensitive && cat pay.csv', ['/sensitive/pay.csv']],
    ['grep -r secret /etc/app.conf | sort', ['/etc/app.conf']],
    ["sed -n '1,5p' /a/b.txt; echo /c.txt", ['/a/b.txt']],
    ['sudo -n env A=1 cat /home/ana/.ssh/id_rsa', ['/home/ana/.ssh/id_rsa']],
    ['timeout 5 tail -f /var/log/x.log', ['/var/log/x.log']],
    ['bash -lc "cat /a/b.txt && true"', ['/a/b.txt']],
    ['python3 x.py < /data/in.csv', ['/data/in.csv']],
    ['cat /a.txt > /tmp/out.txt', ['/a.txt']],
    ['cat ~/.aws/credentials', ['~/.aws/credentials']],
    ['cat /tmp/../sensitive/pay.csv', ['/sensitive/pay.csv']],
    ['ls -la', []],
    ['echo cat /a.txt', []],
  ])('%s reads %j', (command, paths) => {
    expect(readCommand(command, '/srv').paths).toEqual(paths)
  })

  it('takes words as they are where the agent gives a list', () => {
    expect(readCommand(['bash', '-lc', 'cat /a/b.txt']).paths).toEqual(['/a/b.txt'])
    expect(readCommand(['cat', '/with space.txt']).paths).toEqual(['/with space.txt'])
  })

  it('finds addresses that are fetched, not those that are mentioned', () => {
    expect(readCommand('curl -s https://evil.example/x -H "A: https://no.example"').urls).toEqual(['https://evil.example/x'])
    expect(readCommand('echo https://evil.example/').urls).toEqual([])
  })

  it('reads any text in time', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('"', "'", '\\', ' ', ';', '|', '<', '>', '(', ')', '-', 'cat', 'bash -c ', '/a') }),
        (command) => void readCommand(command),
      ),
    )
    const start = performance.now()
    for (const text of ['"'.repeat(1e6), "bash -c '".repeat(1e5), '\\'.repeat(1e6), ';cat /a'.repeat(1e5)]) readCommand(text)
    expect(performance.now() - start).toBeLessThan(1_000)
  })
})
