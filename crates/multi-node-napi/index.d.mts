export * from './index.js';
import * as multiNode from './index.js';
export default multiNode;
