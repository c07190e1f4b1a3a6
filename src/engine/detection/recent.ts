/** The values that were asked for last, made anew where they are gone. */
export class Recent<K, V> {
  private readonly values = new Map<K, V>()
  private readonly most: number

  constructor(most: number) {
    this.most = most
  }

  get(key: K, make: () => V): V {
    const value = this.values.get(key) ?? make()
    this.values.delete(key)
    this.values.set(key, value)
    if (this.values.size > this.most) this.values.delete(this.values.keys().next().value!)
    return value
  }
}
