/** The same application with one mistake each. */
const { Store } = require('./store.js');

/** What is written is there, is it not? */
class WithoutSync extends Store {
  async sync() {}
}

/** The next record can stand behind half a one. */
class WithoutRepair extends Store {
  async repair() {}
}

/** The new log takes the place of the old one before it is on the disk. */
class RenameFirst extends Store {
  async finish(fresh) {
    await fresh.close();
    await this.fs.rename(`${this.log}.new`, this.log);
  }
}

module.exports = { RenameFirst, WithoutRepair, WithoutSync };
