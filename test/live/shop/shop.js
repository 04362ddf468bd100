// What a designer changes in a pull request lives here.
export const title = 'Things for a day outside';
export const accent = '#0f766e';
