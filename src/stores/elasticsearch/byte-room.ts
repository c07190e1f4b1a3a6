/** Room for so many bytes at once. Who finds none waits, first come first served. */
export class ByteRoom {
  readonly #size: number
  #free: number
  readonly #waiting: { readonly bytes: number; readonly enter: () => void }[] = []

  constructor(size: number) {
    this.#size = size
    this.#free = size
  }

  /** Runs `work` once there is room for it. What is larger than the whole room has it alone. */
  async within<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const taken = Math.min(bytes, this.#size)
    await this.#enter(taken)
    try {
      return await work()
    } finally {
      this.#free += taken
      this.#admit()
    }
  }

  #enter(bytes: number): Promise<void> {
    return new Promise((enter) => {
      this.#waiting.push({ bytes, enter })
      this.#admit()
    })
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#free -= next.bytes
      this.#waiting.shift()
      next.enter()
    }
  }
}
