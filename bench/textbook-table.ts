/** The table of the textbook's servers: `keyId` and `wrapped`, and nothing else. */
export const TEXTBOOK_TABLE = 'textbook';
