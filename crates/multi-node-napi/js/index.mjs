import multiNode from './index.js';

export const { listen, frameStream, FrameStream } = multiNode;
export default multiNode;
